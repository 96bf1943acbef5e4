"""Runs the exchanges that have no translator of their own, through ccxt and ccxt.pro.

ccxt keeps the connections and reads the protocols; what arrives is taken from it at the moment at which it would wake
a watcher (`tap`), because its watchers lose data in bursts. Only `books` and `hooks` import ccxt, and only `catalogue`
imports those: where such an exchange is really used, in a thread, since importing takes seconds.

https://docs.ccxt.com/#/ccxt.pro.manual
"""
