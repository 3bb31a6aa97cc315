"""What is sold, where it is offered, and at what price."""
