"""What lies where, and who may sell it: one stock, many shops, no oversell."""
