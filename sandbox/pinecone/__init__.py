"""A Pinecone-compatible vector index for machines that have no Pinecone account."""
