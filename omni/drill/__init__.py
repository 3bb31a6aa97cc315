"""The drill: a whole copy of Omni under every fault that its sandboxes know, with its processes killed in the middle.

It proves what a unit test cannot: that what both sides say afterwards agrees, order by order and unit by unit.
"""
