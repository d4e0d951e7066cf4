"""The exact estimate: the run's own trainer takes two steps on tensors that have a shape and no content, and its memory is written down.

    job.py        carries a request out: shape, depths, extrapolation, result
    graph.py      one depth: model, trainer, two steps and an evaluation, as a trace
    base.py       the base model from config.json alone, loaded as on the device
    depth.py      which depths stand for the whole model
    rows.py       a tokenizer and rows of the wanted length
    tape.py       the trace
    watching.py   sees every operator; answers what depends on content
    as_on_gpu.py  where a graphics card takes another path than the CPU that the shapes live on
    sampling.py   answers that are sampled while training

Nothing is downloaded, no weight is read, no code of a model's author is executed.
"""
