"""What ``vectorline top`` shows: `snapshot` asks the line, `view` lays it out, `keys` hears the keyboard."""
