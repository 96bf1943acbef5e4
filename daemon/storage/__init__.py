"""What is done with the stored data as a whole: its quality, statistics, copies, upkeep. One file a subject.

Every long operation is a plain async function that takes the database's DSN and tells its progress to a callback; it
can be cancelled at any await, and taken up again by calling it again.
"""
