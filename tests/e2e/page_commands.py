"""The commands of the page, as it prints them, in its order: its slips too (a misspelt header,
trailing commas, comments in JSON).
"""

from __future__ import annotations

PROXY_BUDGET = """
curl --location 'http://0.0.0.0:4000/chat/completions' \\
    --header 'Autherization: Bearer sk-1234' \\
    --header 'Content-Type: application/json' \\
    --data '{
    "model": "gpt-3.5-turbo",
    "messages": [
        {
        "role": "user",
        "content": "what llm are you"
        }
    ],
}'
"""

TEAM = """
curl --location 'http://localhost:4000/team/new' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data-raw '{
  "team_alias": "my-new-team_4",
  "members_with_roles": [{"role": "admin", "user_id": "5c4a0aa3-a1e1-43dc-bd87-3c2da8382a3a"}],
  "rpm_limit": 99
}' 
"""  # noqa: W291 - the page's own

TEAM_DURATION = """
curl 'http://0.0.0.0:4000/team/new' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data-raw '{
  "team_alias": "my-new-team_4",
  "members_with_roles": [{"role": "admin", "user_id": "5c4a0aa3-a1e1-43dc-bd87-3c2da8382a3a"}],
  "budget_duration": 10s,
}'
"""

MEMBER_USER = """
curl --location 'http://0.0.0.0:4000/user/new' \\
    --header 'Authorization: Bearer sk-1234' \\
    --header 'Content-Type: application/json' \\
    --data '{
        "user_id": "ishaan"
}'
"""

MEMBER_ADD = """
curl -X POST 'http://0.0.0.0:4000/team/member_add' \\
-H 'Authorization: Bearer sk-1234' \\
-H 'Content-Type: application/json' \\
-d '{"team_id": "e8d1460f-846c-45d7-9b43-55f3cc52ac32", "max_budget_in_team": 0.000000000001,
    "member": {"role": "user", "user_id": "ishaan"}}'
"""

MEMBER_KEY = """
curl --location 'http://0.0.0.0:4000/key/generate' \\
    --header 'Authorization: Bearer sk-1234' \\
    --header 'Content-Type: application/json' \\
    --data '{
        "user_id": "ishaan",
        "team_id": "e8d1460f-846c-45d7-9b43-55f3cc52ac32"
}'
"""

MEMBER_CHAT = """
curl --location 'http://localhost:4000/chat/completions' \\
    --header 'Authorization: Bearer sk-RV-l2BJEZ_LYNChSx2EueQ' \\
    --header 'Content-Type: application/json' \\
    --data '{
    "model": "llama3",
    "messages": [
        {
        "role": "user",
        "content": "tes4"
        }
    ]
}'
"""

CUSTOMER_CHAT = """
curl --location 'http://0.0.0.0:4000/chat/completions' \\
        --header 'Content-Type: application/json' \\
        --header 'Authorization: Bearer sk-zi5onDRdHGD24v0Zdn7VBA' \\
        --data ' {
        "model": "azure-gpt-3.5",
        "user": "ishaan3",
        "messages": [
            {
            "role": "user",
            "content": "what time is it"
            }
        ]
        }'
"""

KEY_BUDGET = """
curl 'http://0.0.0.0:4000/key/generate' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data-raw '{
  "team_id": "core-infra", # [OPTIONAL]
  "max_budget": 10,
}'
"""

KEY_CHAT = """
curl --location 'http://0.0.0.0:4000/chat/completions' \\
  --header 'Content-Type: application/json' \\
  --header 'Authorization: Bearer <generated-key>' \\
  --data ' {
  "model": "azure-gpt-3.5",
  "user": "e09b4da8-ed80-4b05-ac93-e16d9eb56fca",
  "messages": [
      {
      "role": "user",
      "content": "respond in 50 lines"
      }
  ],
}'
"""

KEY_DURATION = """
curl 'http://0.0.0.0:4000/key/generate' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data-raw '{
  "team_id": "core-infra", # [OPTIONAL]
  "max_budget": 10,
  "budget_duration": 10s,
}'
"""

USER_BUDGET = """
curl --location 'http://localhost:4000/user/new' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data-raw '{"models": ["azure-models"], "max_budget": 0, "user_id": "krrish3@berri.ai"}' 
"""  # noqa: W291 - the page's own

USER_DURATION = """
curl 'http://0.0.0.0:4000/user/new' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data-raw '{
  "team_id": "core-infra", # [OPTIONAL]
  "max_budget": 10,
  "budget_duration": 10s,
}'
"""

USER_KEY = """
curl --location 'http://0.0.0.0:4000/key/generate' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data '{"models": ["azure-models"], "user_id": "krrish3@berri.ai"}'
"""

MODEL_BUDGET = """
curl 'http://0.0.0.0:4000/key/generate' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data-raw '{
  model_max_budget={"gpt4": 0.5, "gpt-5": 0.01}
}'
"""

RESETS = [
    f"""
curl 'http://0.0.0.0:4000/{path}' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data-raw '{{
  "max_budget": 10,
  "budget_duration": 10s, # 👈 KEY CHANGE
}}'
"""
    for path in ("user/new", "key/generate", "team/new")
]

USER_RATES = """
curl --location 'http://0.0.0.0:4000/user/new' \\
--header 'Authorization: Bearer sk-1234' \\
--header 'Content-Type: application/json' \\
--data '{"user_id": "krrish@berri.ai", "max_parallel_requests": 10, "tpm_limit": 20, "rpm_limit": 4}' 
"""  # noqa: E501, W291 - the page's own

KEY_RATES = """
curl --location 'http://0.0.0.0:4000/key/generate' \\
--header 'Authorization: Bearer sk-1234' \\
--header 'Content-Type: application/json' \\
--data '{"max_parallel_requests": 10, "tpm_limit": 20, "rpm_limit": 4}' 
"""  # noqa: W291 - the page's own

MODEL_RATES = """
curl --location 'http://0.0.0.0:4000/key/generate' \\
--header 'Authorization: Bearer sk-1234' \\
--header 'Content-Type: application/json' \\
--data '{"model_rpm_limit": {"gpt-4": 2}, "model_tpm_limit": {"gpt-4":}}' 
"""  # noqa: W291 - the page's own

MODEL_CHAT = """
curl -i http://localhost:4000/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer sk-ulGNRXWtv7M0lFnnsQk0wQ" \\
  -d '{
    "model": "gpt-4",
    "messages": [
      {"role": "user", "content": "Hello, Claude!ss eho ares"}
    ]
  }'
"""

BUDGET = """
curl --location 'http://0.0.0.0:4000/budget/new' \\
--header 'Authorization: Bearer sk-1234' \\
--header 'Content-Type: application/json' \\
--data '{
    "budget_id" : "free-tier",
    "tpm_limit": 5
}'
"""

CUSTOMER = """
curl --location 'http://0.0.0.0:4000/customer/new' \\
--header 'Authorization: Bearer sk-1234' \\
--header 'Content-Type: application/json' \\
--data '{
    "user_id" : "palantir",
    "budget_id": "free-tier"
}'
"""

CUSTOMER_RATES_CHAT = """
curl --location 'http://localhost:4000/chat/completions' \\
    --header 'Authorization: Bearer sk-1234' \\
    --header 'Content-Type: application/json' \\
    --data '{
    "model": "llama3",
    "user": "palantir",
    "messages": [
        {
        "role": "user",
        "content": "gm"
        }
    ]
}'
"""

ACCESS_GROUP = """
curl --location 'http://localhost:4000/user/new' \\
-H 'Authorization: Bearer <your-master-key>' \\
-H 'Content-Type: application/json' \\
-d '{"models": ["beta-models"], # 👈 Model Access Group
			"max_budget": 0}'
"""

ACCESS_GROUP_KEY = """
curl --location 'http://0.0.0.0:4000/key/generate' \\
--header 'Authorization: Bearer <your-master-key>' \\
--header 'Content-Type: application/json' \\
--data '{"models": ["azure-models"], "user_id": "krrish@berri.ai"}'
"""
