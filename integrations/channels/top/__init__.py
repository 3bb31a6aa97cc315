"""Taobao and Tmall by the Taobao Open Platform (TOP)."""
