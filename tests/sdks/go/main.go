// Calls the official Go SDK once for each job on standard input, and prints what its errors say.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// A job names the SDK, the gateway's address, a key, and how often to try again; nil is the SDK's own default.
type job struct {
	SDK     string `json:"sdk"`
	URL     string `json:"url"`
	Key     string `json:"key"`
	Retries *int   `json:"retries"`
}

func main() {
	var jobs []job
	if err := json.NewDecoder(os.Stdin).Decode(&jobs); err != nil {
		panic(err)
	}
	said := make([]string, 0, len(jobs))
	for _, each := range jobs {
		said = append(said, call(each))
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		panic(err)
	}
}

func call(each job) string {
	options := []option.RequestOption{option.WithBaseURL(each.URL + "/v1/"), option.WithAPIKey(each.Key)}
	if each.Retries != nil {
		options = append(options, option.WithMaxRetries(*each.Retries))
	}
	client := openai.NewClient(options...)
	_, err := client.Chat.Completions.New(context.Background(), openai.ChatCompletionNewParams{
		Model:    "gpt-4o",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")},
	})
	if err == nil {
		return ""
	}
	// Its text is the status alone, on purpose; what the API said is a field.
	var told *openai.Error
	if errors.As(err, &told) {
		return fmt.Sprintf("%s: %s", err, told.Message)
	}
	return err.Error()
}
