"""NVIDIA GPUs: the device port, and what the harness sees of them. Needs torch with CUDA, and cuda-bindings."""

from plumbline.cuda.port import CudaPort

__all__ = ["CudaPort"]
