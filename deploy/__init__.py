"""What a line is deployed with: images, stacks, and the operations upon them."""
