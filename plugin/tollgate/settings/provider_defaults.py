"""Provide defaults for providers: addresses, and the usual variables of keys and addresses."""

from __future__ import annotations

_ASKED_FOR_BY_NAME = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "bedrock": "https://bedrock-runtime.{region}.amazonaws.com",
    "cerebras": "https://api.cerebras.ai/v1",
    "cohere": "https://api.cohere.com",
    "cohere_chat": "https://api.cohere.com",
    "deepseek": "https://api.deepseek.com",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "gemini": "https://generativelanguage.googleapis.com",
    "github": "https://models.github.ai/inference",
    "groq": "https://api.groq.com/openai/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "nebius": "https://api.studio.nebius.com/v1",
    "nvidia_nim": "https://integrate.api.nvidia.com/v1",
    "ollama": "http://localhost:11434",
    "ollama_chat": "http://localhost:11434",
    "openrouter": "https://openrouter.ai/api/v1",
    "perplexity": "https://api.perplexity.ai",
    "sambanova": "https://api.sambanova.ai/v1",
    "text-completion-openai": "https://api.openai.com/v1",
    "together_ai": "https://api.together.xyz/v1",
    "vertex_ai": "https://{vertex_location}-aiplatform.googleapis.com",
    "xai": "https://api.x.ai/v1",
}
# Providers of smaller parts of the traffic: a call of `*` does not reach them, since each provider
# that it may reach is a cluster in Envoy.
_FURTHER = {
    "ai21_chat": "https://api.ai21.com/studio/v1",
    "aiml": "https://api.aimlapi.com/v1",
    "anyscale": "https://api.endpoints.anyscale.com/v1",
    "baseten": "https://inference.baseten.co/v1",
    "chutes": "https://llm.chutes.ai/v1",
    "codestral": "https://codestral.mistral.ai/v1",
    "cometapi": "https://api.cometapi.com/v1",
    "dashscope": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "featherless_ai": "https://api.featherless.ai/v1",
    "friendliai": "https://api.friendli.ai/serverless/v1",
    "galadriel": "https://api.galadriel.com/v1",
    "huggingface": "https://router.huggingface.co/v1",
    "hyperbolic": "https://api.hyperbolic.xyz/v1",
    "inception": "https://api.inceptionlabs.ai/v1",
    "jina_ai": "https://api.jina.ai/v1",
    "lambda_ai": "https://api.lambda.ai/v1",
    "llamafile": "http://127.0.0.1:8080/v1",
    "meta_llama": "https://api.llama.com/compat/v1",
    "minimax": "https://api.minimax.io/v1",
    "morph": "https://api.morphllm.com/v1",
    "novita": "https://api.novita.ai/v3/openai",
    "nscale": "https://inference.api.nscale.com/v1",
    "ovhcloud": "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    "scaleway": "https://api.scaleway.ai/v1",
    "v0": "https://api.v0.dev/v1",
    "vercel_ai_gateway": "https://ai-gateway.vercel.sh/v1",
    "volcengine": "https://ark.cn-beijing.volces.com/api/v3",
    "voyage": "https://api.voyageai.com/v1",
    "wandb": "https://api.inference.wandb.ai/v1",
    "zai": "https://api.z.ai/api/paas/v4",
}
API_BASES = {**_ASKED_FOR_BY_NAME, **_FURTHER}
"""Default addresses, from each provider's API documentation. Azure's differs for each customer."""
# https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations: the global endpoint has no
# location in its name.
VERTEX_GLOBAL = "https://aiplatform.googleapis.com"

# Providers whose replies report in dollars what the account is charged:
# https://openrouter.ai/docs/guides/administration/usage-accounting,
# https://docs.perplexity.ai/api-reference/chat-completions-post,
# https://docs.x.ai/docs/guides/cost-tracking, https://vercel.com/docs/ai-gateway
TELL_COST = frozenset({"openrouter", "perplexity", "vercel_ai_gateway", "xai"})

RENAMED = {
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "text-completion-codestral": "codestral",
    "vertex_ai_beta": "vertex_ai",
}
"""LiteLLM's further names of providers, which choose between its own ways of calling them."""

KEYLESS = frozenset({"bedrock", "llamafile", "ollama", "ollama_chat"})
"""Providers without an API key: calls are signed, or the server is one's own."""

NAMED_BY_CALLERS = tuple(
    each
    for each in _ASKED_FOR_BY_NAME
    if each not in KEYLESS | {"text-completion-openai", "vertex_ai"}
)
"""Providers that an entry with the model `*` serves: their address needs no region, project or
server of one's own.
"""

COMPATIBLE_PATHS = {
    # https://platform.claude.com/docs/en/api/openai-sdk
    "anthropic": "/v1",
    # https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html
    "bedrock": "/openai/v1",
    # https://ai.google.dev/gemini-api/docs/openai
    "gemini": "/v1beta/openai",
    # https://docs.cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview
    "vertex_ai": "/v1/projects/{vertex_project}/locations/{vertex_location}/endpoints/openapi",
}
"""What comes before /chat/completions at vendors that serve clients of OpenAI's too."""

AWS_REGIONS = ("AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")
"""Variables with Bedrock's region; the first that is set counts."""
DEFAULT_AWS_REGION = "us-west-2"
VERTEX_PROJECTS = ("VERTEXAI_PROJECT", "VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT")
VERTEX_LOCATIONS = ("VERTEXAI_LOCATION", "VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION")
DEFAULT_VERTEX_LOCATION = "us-central1"
AZURE_VERSIONS = ("AZURE_API_VERSION",)

# From LiteLLM's documentation of each provider and the providers' SDKs. For all others:
# NAME_API_KEY, NAME_API_BASE.
_KEYS = {
    "ai21_chat": ("AI21_API_KEY",),
    "azure_ai": ("AZURE_AI_API_KEY", "AZURE_API_KEY"),
    "dashscope": ("DASHSCOPE_API_KEY", "QWEN_API_KEY"),
    "databricks": ("DATABRICKS_API_KEY", "DATABRICKS_TOKEN"),
    "featherless_ai": ("FEATHERLESS_AI_API_KEY", "FEATHERLESS_API_KEY"),
    "friendliai": ("FRIENDLIAI_API_KEY", "FRIENDLI_TOKEN"),
    "jina_ai": ("JINA_AI_API_KEY", "JINA_API_KEY"),
    "lambda_ai": ("LAMBDA_API_KEY",),
    "meta_llama": ("LLAMA_API_KEY",),
    "ovhcloud": ("OVHCLOUD_API_KEY", "OVH_AI_ENDPOINTS_ACCESS_TOKEN"),
    "scaleway": ("SCW_SECRET_KEY",),
    "vercel_ai_gateway": ("VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
    "volcengine": ("VOLCENGINE_API_KEY", "ARK_API_KEY"),
    "voyage": ("VOYAGE_API_KEY", "VOYAGE_AI_API_KEY"),
    "azure": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY"),
    "gemini": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "huggingface": ("HUGGINGFACE_API_KEY", "HF_TOKEN"),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY", "NVIDIA_API_KEY"),
    "ollama_chat": ("OLLAMA_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY", "OR_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "text-completion-openai": ("OPENAI_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY"),
    # Vertex needs an access token that is valid for an hour, so no variable can hold it.
    "vertex_ai": (),
}
_BASES = {
    "azure_ai": ("AZURE_AI_API_BASE",),
    "lambda_ai": ("LAMBDA_API_BASE",),
    "meta_llama": ("LLAMA_API_BASE",),
    "jina_ai": ("JINA_AI_API_BASE",),
    "anthropic": ("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"),
    "azure": ("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"),
    "bedrock": ("AWS_BEDROCK_RUNTIME_ENDPOINT",),
    "cohere_chat": ("COHERE_API_BASE",),
    "ollama_chat": ("OLLAMA_API_BASE",),
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "text-completion-openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "vertex_ai": ("VERTEXAI_API_BASE", "VERTEX_API_BASE"),
}


def key_variables(provider: str) -> tuple[str, ...]:
    """Return the variables that usually hold a provider's key; the first that is set counts."""
    return _KEYS.get(provider, (f"{_upper(provider)}_API_KEY",))


def base_variables(provider: str) -> tuple[str, ...]:
    """Return the variables that usually hold a provider's address; the first that is set counts."""
    return _BASES.get(provider, (f"{_upper(provider)}_API_BASE",))


def _upper(provider: str) -> str:
    return provider.upper().replace("-", "_")
