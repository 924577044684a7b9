"""The wire, as msgspec structs: null means "not given", unknown fields are ignored.

``Any`` stands where the contract has its own words for a wrong type.
"""
