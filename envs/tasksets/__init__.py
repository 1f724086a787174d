"""Task sets: made, kept, read and written."""

from envs.tasksets.cache import by_split, taskset
from envs.tasksets.folder import save_taskset
from envs.tasksets.layout import is_taskset
from envs.tasksets.reader import load_taskset
from envs.tasksets.repositories import TaskSetError

__all__ = ["TaskSetError", "by_split", "is_taskset", "load_taskset", "save_taskset", "taskset"]
