"""What needs vLLM itself: collected by `make test-vllm` alone, which makes an environment that has it."""
