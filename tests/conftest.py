"""What holds for every test: hypothesis measures no time, for machines are shared and slow."""

from hypothesis import settings

settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
