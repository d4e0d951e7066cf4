"""The domain: configuration, data, memory estimates, runs. No Qt, torch, transformers, trl, peft or bitsandbytes."""
