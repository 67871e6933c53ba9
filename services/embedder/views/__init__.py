"""What people and load balancers see of the line: queue, workers, limiter and services. Nothing here changes anything.

Where to look:
    looks       one look a second at queue and limiter for all who ask
    health      the line's health in one answer
    monitoring  queue, workers and limiter for operators, and what in them needs a look
    gauges      the same as metrics for alarms
"""
