"""The mathematics of cloaks, iteration by iteration: Fawkes v0.3, Fawkes v1.0, LowKey, and whatever is registered.

`cloak` is the base class of them all, `registry` knows them by name, `loop` runs them, `apply` takes pictures in and
puts cloaked ones out (`facecure.cloak` and `facecure.cloak_faces` start there). torch is imported with the first cloak.
"""
