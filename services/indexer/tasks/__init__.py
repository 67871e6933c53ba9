"""What callers and operators are told about tasks. It reads the ledger; all that it does there is to cancel and heal.

Of one task:
    servicer     the task half of IndexerService: get, list, watch, cancel
    messages     the ledger's item and its progress as the public `Task`
    stalls       since when a task stands still, and what it waits for
    watching     one reader a task for all that watch it
Of many:
    overview     the tasks of the last hours as short notes, which the others add up
    statistics, anomalies     what came of them, and what is not as it should be
    monitoring   the monitoring half of IndexerService, over all of these
    gauges       unfinished tasks for alarms, refreshed by a slow loop

A caller sees its own tasks, an admin every task; another's task looks like one that does not exist.
"""
