"""The contrastive context probe (paper 1): does a model name the context that supports an answer?"""
