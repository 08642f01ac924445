"""The paths of the API. One router per noun."""
