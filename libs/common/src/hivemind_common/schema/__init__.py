"""The tables of all owners, as numbered migrations, and what brings a database up to them."""
