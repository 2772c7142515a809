"""How the searcher recognises: 1-NN, a linear classifier, a network trained end to end."""
