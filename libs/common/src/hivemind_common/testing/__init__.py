"""What tests of every package stand on: the real servers, a database each, and the services on them."""
