"""Valkey (or Redis 7): the client and what every user of it needs. It knows nothing of what is kept there.

The chunk queue, the limiter and the rates of API keys stand on it. Each operation of theirs is one command or one Lua
script, so that it is atomic; none is repeated here, since only they know what may be.

Where to look:
    settings    where Valkey is
    connection  the client: fails soon, may be cancelled at any moment, leaves a node that was demoted
    credentials user and password, asked for at each connect
    health      does it take writes, and is it one that the queue can live on
    scripts     loads Lua files, each of which says its flags
    errors      which of the client library's errors mean "not now"
    rates       requests a second of one API key, counted for all replicas together
    tokens      tokens bought for one API key in a day, likewise
"""
