"""The closed list of the methods that come with mvadapter; each is a file here.

It holds strings, in the form of entry points, so that reading it loads no method and no torch.
"""

METHODS: dict[str, str] = {
    "frozen": "mvadapter.adapters.methods.frozen:FrozenConfig",
    "full": "mvadapter.adapters.methods.full:FullConfig",
    "projection": "mvadapter.adapters.methods.projection:ProjectionConfig",
    "bitfit": "mvadapter.adapters.methods.bitfit:BitFitConfig",
    "lora": "mvadapter.adapters.methods.lora:LoraConfig",
    "adaptformer": "mvadapter.adapters.methods.adaptformer:AdaptFormerConfig",
    "convpass": "mvadapter.adapters.methods.convpass:ConvpassConfig",
    "st-adapter": "mvadapter.adapters.methods.st_adapter:StAdapterConfig",
    "cross-modal-adapter": "mvadapter.adapters.methods.cross_modal:CrossModalAdapterConfig",
    "sequence-transformer": (
        "mvadapter.adapters.methods.sequence_transformer:SequenceTransformerConfig"
    ),
    "prompts": "mvadapter.adapters.methods.prompts:PromptsConfig",
    "mv-adapter": "mvadapter.adapters.methods.mv_adapter:MvAdapterConfig",
}
"""Name of every method -> module and class of its configuration."""
