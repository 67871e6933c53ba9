"""What is asked. In: a request's message. Out: options in which every default is filled in and every field is good."""
