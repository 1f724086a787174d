"""Task sets: made, kept, read and written."""

from envs.tasksets.cache import by_split, taskset
from envs.tasksets.folder import TaskSetError, load_taskset, save_taskset

__all__ = ["TaskSetError", "by_split", "load_taskset", "save_taskset", "taskset"]
