"""What runs tests inside a sandbox. Standard library only; shipped file by file, so its imports are relative.

Invariant: every job runs in a fork of a process that has never imported anything of the repository, on the tree as it
lies plus the job's own files, which are taken away again afterwards: no job sees anything of another.
"""
