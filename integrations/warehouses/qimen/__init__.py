"""Qimen 奇门, the usual language between Chinese order and warehouse systems. Honesty level C: own sandbox only."""
