"""What loading and searching cost: counted in one way by all services, priced in one place.

`units` says what Pinecone bills for a write · `spend` adds up what was spent · `prices` holds the dated tables of the
settings · `bill` makes the public message of a spend and its prices · `window` says which texts are not bought again.
Nothing here calls anybody.
"""
