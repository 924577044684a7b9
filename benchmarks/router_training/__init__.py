"""Makes the two small models that homeport_routers ships."""
