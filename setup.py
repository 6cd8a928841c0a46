"""The compiled kernels, which pyproject.toml cannot describe; all else stands there.

``optional`` lets an installation without a C compiler go on; the torch engine then decodes.
"""

from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("src/tonggan/native/source")

setup(
    ext_modules=[
        Extension(
            "tonggan.native._kernels",
            sources=sorted(str(path) for path in SOURCE.glob("*.c")),
            depends=sorted(str(path) for path in SOURCE.glob("*.h")),
            extra_compile_args=["-std=gnu11", "-O3", "-pthread", "-Wall", "-Wextra"],
            extra_link_args=["-pthread"],
            libraries=["m"],
            optional=True,
        )
    ]
)
