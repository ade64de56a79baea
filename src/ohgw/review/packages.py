"""Which distribution an import comes from, and which ones come along with others.

Only names that differ, or that experiments use all the time, are listed: anything else is taken to
have one name.
"""

import re
import sys

from ohgw.review.manifest import normalise

STDLIB = frozenset(sys.stdlib_module_names) | {"distutils", "imp", "asyncore", "tomllib"}

# Import names whose distribution is called otherwise; the first one is the usual one.
_ELSEWHERE = """
sklearn: scikit-learn
cv2: opencv-python opencv-python-headless opencv-contrib-python opencv-contrib-python-headless
PIL: pillow pillow-simd
yaml: pyyaml
bs4: beautifulsoup4
dateutil: python-dateutil
skimage: scikit-image
hydra: hydra-core
dotenv: python-dotenv
attr: attrs
git: gitpython
serial: pyserial
Crypto: pycryptodome
jwt: pyjwt
OpenSSL: pyopenssl
psycopg2: psycopg2 psycopg2-binary
MySQLdb: mysqlclient
fitz: pymupdf
docx: python-docx
pptx: python-pptx
pkg_resources: setuptools
setuptools: setuptools
faiss: faiss-cpu faiss-gpu faiss
umap: umap-learn
hdbscan: hdbscan
igraph: igraph python-igraph
community: python-louvain
skopt: scikit-optimize
sksurv: scikit-survival
imblearn: imbalanced-learn
mlxtend: mlxtend
pl_bolts: lightning-bolts
pytorch_lightning: pytorch-lightning lightning
lightning: lightning
lightning_fabric: lightning-fabric lightning
torch_geometric: torch-geometric
torch_scatter: torch-scatter
torch_sparse: torch-sparse
torchvision: torchvision
torchaudio: torchaudio
torch_optimizer: torch-optimizer
segmentation_models_pytorch: segmentation-models-pytorch
efficientnet_pytorch: efficientnet-pytorch
pretrainedmodels: pretrainedmodels
open_clip: open-clip-torch
clip: clip openai-clip
sentence_transformers: sentence-transformers
huggingface_hub: huggingface-hub
rouge_score: rouge-score
sacrebleu: sacrebleu
nltk: nltk
google: protobuf google-cloud-storage google-api-python-client google-auth google-generativeai
tensorboard: tensorboard
tensorflow: tensorflow tensorflow-cpu tensorflow-gpu tensorflow-macos
tensorflow_datasets: tensorflow-datasets tfds-nightly
tensorflow_probability: tensorflow-probability
keras: keras tensorflow
jax: jax
flax: flax
optax: optax
haiku: dm-haiku
tree: dm-tree
gym: gym
gymnasium: gymnasium
ale_py: ale-py
mujoco: mujoco
dm_control: dm-control
stable_baselines3: stable-baselines3
ray: ray
wandb: wandb
neptune: neptune neptune-client
comet_ml: comet-ml
mlflow: mlflow mlflow-skinny
clearml: clearml
nni: nni
ConfigSpace: configspace
smac: smac
hpbandster: hpbandster
botorch: botorch
ax: ax-platform
gpytorch: gpytorch
syne_tune: syne-tune
pynvml: nvidia-ml-py pynvml nvidia-ml-py3
GPUtil: gputil
cpuinfo: py-cpuinfo
fvcore: fvcore
thop: thop
ptflops: ptflops
apex: apex
deepspeed: deepspeed
bitsandbytes: bitsandbytes
flash_attn: flash-attn
xformers: xformers
mpl_toolkits: matplotlib
pylab: matplotlib
matplotlib: matplotlib
IPython: ipython
ipywidgets: ipywidgets
tqdm: tqdm
absl: absl-py
ml_collections: ml-collections
einops: einops
kornia: kornia
albumentations: albumentations
imgaug: imgaug
imagecorruptions: imagecorruptions
robustbench: robustbench
autoattack: autoattack pyautoattack
foolbox: foolbox
advertorch: advertorch
torchattacks: torchattacks
art: adversarial-robustness-toolbox
captum: captum
shap: shap
lime: lime
netCDF4: netcdf4
osgeo: gdal
Bio: biopython
rdkit: rdkit rdkit-pypi
deepchem: deepchem
ogb: ogb
dgl: dgl
pyg_lib: pyg-lib
librosa: librosa
soundfile: soundfile
sounddevice: sounddevice
websocket: websocket-client
zmq: pyzmq
usb: pyusb
lxml: lxml
slugify: python-slugify
magic: python-magic
Levenshtein: levenshtein python-levenshtein
jose: python-jose
kaleido: kaleido
tabulate: tabulate
termcolor: termcolor
colorama: colorama
ruamel: ruamel-yaml
toml: toml
tomli: tomli
typing_extensions: typing-extensions
pythonjsonlogger: python-json-logger
prometheus_client: prometheus-client
sqlalchemy: sqlalchemy
statsmodels: statsmodels
lifelines: lifelines
pingouin: pingouin
scikit_posthocs: scikit-posthocs
pyarrow: pyarrow
higher: higher
torchopt: torchopt
betty: betty-ml
learn2learn: learn2learn
"""

# What certainly comes along: by the distribution that is declared.
_ALONG = """
torch: numpy typing-extensions sympy networkx jinja2 fsspec filelock
torchvision: torch numpy pillow
torchaudio: torch
torchmetrics: torch numpy packaging
torchtext: torch numpy tqdm requests
lightning: torch torchmetrics pyyaml tqdm packaging fsspec typing-extensions numpy
pytorch-lightning: torch torchmetrics pyyaml tqdm packaging fsspec typing-extensions numpy
timm: torch torchvision pyyaml huggingface-hub safetensors numpy pillow
transformers: numpy pyyaml tqdm requests packaging regex tokenizers safetensors huggingface-hub
datasets: numpy pandas pyarrow tqdm requests fsspec huggingface-hub dill pyyaml packaging filelock
evaluate: datasets numpy pandas tqdm requests fsspec huggingface-hub dill packaging
accelerate: torch numpy packaging psutil pyyaml huggingface-hub safetensors
peft: torch transformers accelerate numpy pyyaml tqdm safetensors huggingface-hub psutil packaging
diffusers: numpy pillow requests regex huggingface-hub safetensors filelock
sentence-transformers: torch transformers scikit-learn scipy numpy tqdm huggingface-hub pillow
hydra-core: omegaconf packaging antlr4-python3-runtime pyyaml
omegaconf: pyyaml antlr4-python3-runtime
scikit-learn: numpy scipy joblib threadpoolctl
scikit-image: numpy scipy pillow networkx packaging
scikit-optimize: numpy scipy scikit-learn joblib pyyaml
imbalanced-learn: numpy scipy scikit-learn joblib
pandas: numpy python-dateutil pytz tzdata
scipy: numpy
matplotlib: numpy pillow python-dateutil packaging cycler kiwisolver pyparsing
seaborn: matplotlib numpy pandas pillow
statsmodels: numpy scipy pandas patsy packaging
xgboost: numpy scipy
lightgbm: numpy scipy
catboost: numpy scipy pandas matplotlib plotly
optuna: numpy sqlalchemy tqdm pyyaml packaging alembic colorlog
ray: pyyaml requests packaging filelock jsonschema click
wandb: pyyaml requests click psutil platformdirs gitpython protobuf
mlflow: numpy pandas pyyaml requests scikit-learn matplotlib sqlalchemy scipy flask
tensorflow: numpy protobuf keras tensorboard h5py absl-py requests packaging
tensorboard: numpy protobuf absl-py packaging pillow
tensorboardx: numpy protobuf packaging
keras: numpy rich h5py absl-py packaging
jax: numpy scipy jaxlib ml-dtypes
jaxlib: numpy scipy
flax: jax numpy optax pyyaml rich
optax: jax numpy absl-py
gymnasium: numpy cloudpickle typing-extensions
gym: numpy cloudpickle
stable-baselines3: torch numpy pandas matplotlib gymnasium cloudpickle
opencv-python: numpy
opencv-python-headless: numpy
albumentations: numpy scipy opencv-python-headless pyyaml
kornia: torch packaging
einops:
gpytorch: torch scikit-learn numpy scipy
botorch: torch gpytorch scipy numpy
ax-platform: botorch torch numpy pandas scipy scikit-learn
torch-geometric: numpy scipy tqdm requests jinja2 psutil pyparsing scikit-learn
ogb: torch numpy pandas scikit-learn tqdm
dgl: numpy scipy networkx requests tqdm psutil
librosa: numpy scipy scikit-learn joblib soundfile
nltk: click joblib regex tqdm
spacy: numpy tqdm requests pydantic typer jinja2 packaging
gensim: numpy scipy
shap: numpy scipy scikit-learn pandas tqdm packaging numba
umap-learn: numpy scipy scikit-learn numba tqdm
captum: torch numpy matplotlib tqdm packaging
higher: torch
torchopt: torch numpy optree
botocore: python-dateutil urllib3
requests: urllib3 certifi idna
huggingface-hub: requests pyyaml tqdm fsspec filelock packaging typing-extensions
fvcore: numpy pyyaml pillow tqdm tabulate yacs termcolor iopath
deepspeed: torch numpy tqdm psutil pydantic packaging
plotly: packaging
ipython: traitlets
jupyter: ipython ipykernel notebook
syne-tune: numpy pandas pyyaml
configspace: numpy scipy
smac: numpy scipy scikit-learn configspace
networkx:
rich: pygments
typer: click rich
pydantic: typing-extensions
"""

# Used without being imported: engines, plug-ins, tools.
SILENT = frozenset(
    """
    accelerate pyarrow fastparquet openpyxl xlrd lxml html5lib kaleido tabulate jinja2 protobuf
    tensorboard setuptools wheel pip ninja triton cython pybind11 cmake build twine
    pytest pytest-cov pytest-xdist hypothesis coverage ruff black isort flake8 mypy pylint pyright
    ty pre-commit tox nox jupyter jupyterlab notebook ipykernel ipython ipywidgets nbconvert
    sphinx mkdocs types-pyyaml types-requests types-tqdm pandas-stubs typing-extensions
    zstandard certifi charset-normalizer nvidia-ml-py rich uv poetry hatchling
    sacremoses tiktoken hf-transfer hf-xet safetensors xformers flash-attn bitsandbytes h5py
    """.split()
)

# Names of imports that people write where the name of the distribution belongs.
NOT_DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "cv2": "opencv-python",
    "pil": "pillow",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
    "dateutil": "python-dateutil",
}

_COMMON = frozenset(
    """
    torch numpy scipy pandas matplotlib seaborn transformers datasets timm requests optuna
    xgboost lightgbm catboost peft diffusers evaluate accelerate tokenizers torchmetrics numba
    psutil joblib networkx sympy sentencepiece regex pydantic click typer fire rich loguru pytest
    plotly altair bokeh polars dask h5py cloudpickle dill gensim spacy torchtext cupy boto3
    flask fastapi
    """.split()
)


def _table(text: str) -> dict[str, tuple[str, ...]]:
    rows = (line.partition(":") for line in text.strip().splitlines())
    return {name.strip(): tuple(values.split()) for name, _, values in rows}


DISTRIBUTIONS = _table(_ELSEWHERE)
ALONG = _table(_ALONG)
_AFFIXES = re.compile(
    r"^(?:python|py)-?|-?(?:python|py|cpu|gpu|headless|binary|nightly|core|cu\d+)$"
)


def is_known(name: str) -> bool:
    """Whether an import is surely of a published package that everybody calls so."""
    return name in DISTRIBUTIONS or name in _COMMON


def distributions(name: str) -> tuple[str, ...]:
    """Distributions, normalised, that bring an import name; the usual one first."""
    return DISTRIBUTIONS.get(name) or (normalise(name),)


def provides(distribution: str, name: str) -> bool:
    """Whether a declared distribution is the one that brings an import name."""
    plain = normalise(name)
    return (
        distribution in distributions(name)
        or distribution == plain
        or distribution.startswith(f"{plain}-")
        or _AFFIXES.sub("", distribution) == _AFFIXES.sub("", plain)
    )


def is_of(distribution: str) -> bool:
    """Whether it is known what a distribution brings, so that it cannot bring something else."""
    return (
        distribution in ALONG
        or distribution in _COMMON
        or distribution in SILENT
        or any(distribution in found for found in DISTRIBUTIONS.values())
    )


def brought_by(name: str, declared: frozenset[str]) -> str:
    """A declared distribution with which an import comes along; '' where none does."""
    wanted = set(distributions(name))
    for distribution in sorted(declared):
        pending, seen = [distribution], set()
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            pending += ALONG.get(current, ())
        if wanted & (seen - {distribution}):
            return distribution
    return ""
