"""What is known of models by their names: how names are read, the most that each can write, what
each costs.
"""
