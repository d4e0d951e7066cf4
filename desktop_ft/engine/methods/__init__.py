"""How much of the model is changed: 4-bit bases, starts of adapters, grown vocabularies, frozen layers, optimizers. No Qt."""
