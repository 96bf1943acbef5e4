-- Which command asked for a task: it is answered with the progress, and in the end with what came of it.

alter table tasks add column asker jsonb;
