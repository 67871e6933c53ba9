"""Tasks that are no loads: they have a turn and a driver as loads have, and look at the index instead of a source.

kinds       which kind a task is of, and how one is driven
requests    what is asked: checked, priced, stored
folder      what a job keeps in the bucket between two drives of it
findings    ids about which there is something to say, and why
looking     records of the index, fetched and compared with a manifest
listed      the ids that the index lists, side by side with those of a manifest
sampling    vectors that are bought again by the queue, and compared by the indexer
believing   the manifest that a job may go by
tools       what verify and adopt work with
forecasts   what a job would cost
verify      what is known of a question, held against the index
adopt       an index that others filled becomes a manifest
telling     how both change what is known: a run of no rows
repair      what a verify found is bought again

A job may die anywhere and is driven again: what it found is stored before the ledger hears of it.
"""
