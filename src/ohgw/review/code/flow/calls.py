"""Library calls that load, copy, merge, print or read configurations, by their full names."""

LOADS = (
    "yaml.safe_load",
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
    "OmegaConf.load",
    "json.load",
    "json.loads",
    "tomllib.load",
    "tomllib.loads",
    "toml.load",
    "toml.loads",
    "tomli.load",
    "tomli.loads",
)
DUMPS = ("yaml.safe_dump", "yaml.dump", "OmegaConf.save", "OmegaConf.to_yaml", "json.dump",
         "json.dumps", "toml.dump", "toml.dumps")  # fmt: skip
PYYAML = ("yaml.safe_load", "yaml.load", "yaml.full_load", "yaml.unsafe_load")

# The result holds what the arguments hold.
COPIES = frozenset(
    """
    dict list tuple set sorted reversed iter next enumerate zip deepcopy copy str Path
    PurePath open fspath join abspath expanduser realpath tqdm trange cast Namespace SimpleNamespace
    DictConfig ListConfig EasyDict edict AttrDict AttributeDict Box Munch munchify DotDict Config
    ConfigDict create to_container to_object structured resolve masked_copy vars asdict
    MappingProxyType OrderedDict defaultdict ChainMap islice chain filter shuffle choice sample
    instantiate_config getattr flatten freeze FrozenDict StringIO safe_dump dump dumps
    """.split()
)
# Numbers stay what they are, but become numbers.
NUMBERS = frozenset("int float bool abs round min max sum ceil floor pow".split())
MERGES = frozenset({"OmegaConf.merge", "OmegaConf.unsafe_merge", "ChainMap", "deep_update"})

# Whatever is given to these is only shown or stored.
SILENT = frozenset(
    """
    print pprint len isinstance type id repr hash bool any all info debug warning warn error log
    exception critical to_yaml save save_hyperparameters log_params log_hyperparams set_struct
    set_readonly is_missing is_config is_dict is_list issubset write write_text echo secho
    add_row add_text add_hparams json_normalize ValueError KeyError RuntimeError TypeError
    NotImplementedError AssertionError Exception init update_config finish append extend
    format rule Panel Syntax
    """.split()
)

# Methods of a mapping, list or text that give (parts of) itself.
SELF_METHODS = frozenset(
    {"copy", "items", "values", "to_dict", "toDict", "as_dict", "model_dump", "__iter__", "dict",
     "lower", "upper", "strip", "casefold", "rstrip", "lstrip", "title", "capitalize"}
)  # fmt: skip

# Methods of a text or path that make another of it.
TEXT_METHODS = frozenset(
    {"replace", "removesuffix", "removeprefix", "split", "rsplit", "partition", "rpartition",
     "resolve", "absolute", "expanduser", "read_text", "read_bytes", "open", "read", "as_posix",
     "joinpath", "with_suffix", "with_name", "format", "join"}
)  # fmt: skip
