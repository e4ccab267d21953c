"""What a three-way merge is made of; `engine.merge` puts it together."""
