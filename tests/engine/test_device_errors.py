"""What torch 2.13, bitsandbytes 0.50 and transformers 5.23 say when memory, device or library fail, and what the person reads."""

from __future__ import annotations

import pytest
import torch

from desktop_ft.core.config import RunConfig, validate
from desktop_ft.core.events import Phase
from desktop_ft.engine.errors import BUG_CODE, Situation, translate

CUDA_FULL = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.05 GiB is free. "
    "Including non-PyTorch memory, this process has 19.58 GiB memory in use. Of the allocated memory 18.99 GiB is allocated by PyTorch, "
    "and 128.51 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting "
    "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management"
)
XPU_FULL = (
    "XPU out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.11 GiB. Of the allocated memory 1.20 GiB is "
    "allocated by PyTorch, and 0 bytes is reserved by PyTorch but unallocated."
)
MPS_FULL = (
    "MPS backend out of memory (MPS allocated: 8.00 GiB, other allocations: 512.00 MiB, max allowed: 9.07 GiB). Tried to allocate "
    "1.00 GiB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory allocations (may cause "
    "system failure)."
)
ASYNC = (
    "\nSearch for `{name}' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information.\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.\n"
    "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\nDevice-side assertions were explicitly omitted for this error check"
)
DRIVER = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and installing a "
    "new version from the URL: http://www.nvidia.com/Download/index.aspx"
)


def config_with(**changes: object) -> RunConfig:
    values: dict[str, object] = {
        "model": {"source": "x"},
        "data": {"train": "x", "max_length": 1024},
        "method": {"kind": "full"},
        "training": {"micro_batch_size": 4, "activation_checkpointing": False},
    }
    return validate({**values, **changes})


def shown_at(phase: Phase, error: BaseException, config: RunConfig | None = None) -> tuple[str, str, str]:
    shown = translate(error, Situation(phase, 137, config or config_with()))
    return shown.code, shown.message, shown.hint


def cuda(text: str, name: str = "cudaErrorUnknown") -> torch.AcceleratorError:
    return torch.AcceleratorError(f"CUDA error: {text}{ASYNC.format(name=name)}")


def test_a_full_gpu_says_what_was_needed_what_was_free_and_when() -> None:
    code, message, hint = shown_at("train", torch.OutOfMemoryError(CUDA_FULL))
    assert code == "out_of_memory"
    assert message == (
        "Training step 138 needed 2.50 GiB more; 1.05 GiB of 23.64 GiB were free. This run holds 19.58 GiB, other programs 3.01 GiB."
    )
    wanted = [
        "micro_batch_size 2 instead of 4", "--halve-micro-batch", "new run: set training.activation_checkpointing to true",
        "data.max_length from 1024 to 512", "method.kind to lora", "smaller model",
    ]  # fmt: skip
    places = [hint.index(words) for words in wanted]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("phase", "begins"),
    [
        ("load", "Loading the model needed"),
        ("evaluate", "An evaluation after step 137 needed"),
        ("generate", "Answering the sample prompts needed"),
        ("save", "Saving needed"),
    ],
)
def test_the_phase_is_named(phase: Phase, begins: str) -> None:
    _, message, hint = shown_at(phase, torch.OutOfMemoryError(CUDA_FULL))
    assert message.startswith(begins)
    assert ("--halve-micro-batch" in hint) is (phase == "evaluate")


def test_a_micro_batch_that_cannot_be_halved_is_not_proposed() -> None:
    kto = config_with(objective={"kind": "kto"}, training={"micro_batch_size": 2, "activation_checkpointing": True})
    assert "micro_batch_size" not in shown_at("train", torch.OutOfMemoryError(CUDA_FULL), kto)[2]
    one = config_with(method={"kind": "lora"}, training={"micro_batch_size": 1, "activation_checkpointing": True})
    hint = shown_at("train", torch.OutOfMemoryError(CUDA_FULL), one)[2]
    assert "micro_batch_size" not in hint
    assert "method.kind to qlora" in hint


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError(XPU_FULL), "needed 20.00 GiB more."),
        (RuntimeError(MPS_FULL), "needed 1.00 GiB more; 0.57 GiB of 9.07 GiB were free. This run holds 8.00 GiB"),
        (cuda("out of memory", "cudaErrorMemoryAllocation"), "needed more than there was."),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "needed more than there was."),
        (MemoryError(), "needed more than there was; "),
    ],
    ids=["xpu", "mps", "cuda runtime", "cublas", "python"],
)
def test_every_allocator_has_its_own_words(error: BaseException, words: str) -> None:
    code, message, _ = shown_at("train", error)
    assert code == "out_of_memory"
    assert words in message


def test_the_real_allocator_of_the_computer() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 46)
    code, message, _ = shown_at("train", caught.value)
    assert code == "out_of_memory"
    assert "needed 262144.00 GiB more" in message


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (cuda("an illegal memory access was encountered", "cudaErrorIllegalAddress"), "gpu_fault", "illegal memory access"),
        (cuda("unspecified launch failure", "cudaErrorLaunchFailure"), "gpu_fault", "unspecified launch failure"),
        (cuda("device-side assert triggered", "cudaErrorAssert"), "gpu_assert", "vocabulary"),
        (cuda("uncorrectable ECC error encountered", "cudaErrorECCUncorrectable"), "gpu_lost", "ECC"),
        (cuda("CUDA-capable device(s) is/are busy or unavailable", "cudaErrorDevicesUnavailable"), "gpu_lost", "unavailable"),
        (cuda("unknown error"), "gpu_lost", "unknown error"),
        (RuntimeError("No CUDA GPUs are available"), "gpu_lost", "No CUDA GPUs"),
        (RuntimeError(DRIVER), "driver_too_old", "11040"),
        (cuda("CUDA driver version is insufficient for CUDA runtime version"), "driver_too_old", "insufficient"),
        (cuda("no kernel image is available for execution on the device"), "gpu_not_supported", "no kernel image"),
    ],
)
def test_what_a_device_says(error: BaseException, code: str, words: str) -> None:
    found, message, hint = shown_at("train", error)
    assert found == code
    assert words in message
    assert "https" not in message
    assert hint


def test_a_build_without_cuda() -> None:
    if torch.version.cuda is not None:
        pytest.skip("this torch was built with CUDA")
    with pytest.raises(AssertionError) as caught:
        torch.zeros(1, device="cuda")
    code, message, _ = shown_at("load", caught.value)
    assert code == "gpu_not_supported"
    assert "the CPU alone" in message


@pytest.mark.parametrize(
    ("original", "words"),
    [
        ("libcusparse.so.12: cannot open shared object file: No such file or directory", "libcusparse.so.12: cannot open"),
        ("Configured CUDA binary not found at /x/libbitsandbytes_cuda131.so", "libbitsandbytes_cuda131.so"),
    ],
)
def test_bitsandbytes_without_its_native_library(original: str, words: str) -> None:
    from bitsandbytes.cextension import ErrorHandlerMockBNBNativeLibrary

    broken = ErrorHandlerMockBNBNativeLibrary(original)
    with pytest.raises(RuntimeError) as caught:
        broken.cquantize_blockwise_fp16_nf4()
    code, message, hint = shown_at("load", caught.value)
    assert code == "bitsandbytes_broken"
    assert words in message
    assert "🚨" not in message
    assert "LD_LIBRARY_PATH" not in message
    assert "method.kind: lora" in hint


def test_bitsandbytes_of_a_build_without_a_gpu() -> None:
    from bitsandbytes.cextension import BNBNativeLibrary

    with pytest.raises(RuntimeError) as caught:
        BNBNativeLibrary(object())["cadam32bit_grad_fp32"]()  # pyright: ignore[reportArgumentType]
    assert shown_at("train", caught.value)[0] == "bitsandbytes_broken"


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'bitsandbytes'", name="bitsandbytes"),
        ImportError("Using `bitsandbytes` 4-bit quantization requires bitsandbytes: `pip install -U bitsandbytes>=0.46.1`"),
    ],
)
def test_bitsandbytes_that_is_not_there(error: ImportError) -> None:
    assert shown_at("load", error)[0] == "bitsandbytes_broken"


def test_triton_that_is_not_there() -> None:
    from torch._inductor.exc import TritonMissing

    missing = ModuleNotFoundError("No module named 'triton'", name="triton")
    assert [shown_at("train", error)[0] for error in (TritonMissing(None), missing)] == ["triton_missing"] * 2


@pytest.mark.parametrize("error", [AssertionError("rows"), RuntimeError("shape mismatch"), ImportError("No module named 'x'", name="x")])
def test_anything_else_is_our_bug(error: BaseException) -> None:
    assert shown_at("train", error)[0] == BUG_CODE
