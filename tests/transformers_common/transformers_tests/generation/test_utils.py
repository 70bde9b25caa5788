"""Stand-in: GeneBERT is an encoder and does not generate; the name is only asked for with `issubclass`."""


class GenerationTesterMixin:
    pass
