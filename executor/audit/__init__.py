"""Audit documents: what state knows of a resource, in the formats that other tools and authorities read."""
