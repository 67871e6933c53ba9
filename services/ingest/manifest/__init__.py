"""What of a question is in a namespace, so that nothing is paid for twice. It errs only towards buying again.

records     an entry: hashes of a row's id, text and metadata, keyed with the manifest's own key
runs        sorted entries in blocks, merged as streams: of two with the same id the newer counts
sorting     unsorted rows on disk, sorted one part after the other
parts       runs as objects in the bucket: what is written is checked when it is read
header      what a manifest is made of, and for which rules, model and index it holds
comparing   the rows of a file, joined with a manifest
known       what a comparison would find, for whoever sends nothing
comparison  a file's rows against a manifest: what travels, and what of it the merge must know
write_ahead what of a run's rows its drivers write down where nothing was known
merging     a manifest, changed by what one run is known to have written
store       where objects are called what
"""
