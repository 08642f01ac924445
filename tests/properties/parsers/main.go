// Reads JSON bodies and forms as a Go server does: encoding/json into a struct, mime and mime/multipart.
// One case a line comes in as JSON, {"raw": base64, "type": content type of a form}; what was read goes out, or null.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"os"
)

type request struct {
	Raw  []byte  `json:"raw"`
	Type *string `json:"type"`
}

type body struct {
	Model     *string          `json:"model"`
	Stream    *bool            `json:"stream"`
	MaxTokens *json.RawMessage `json:"max_tokens"`
	N         *int             `json:"n"`
	User      *any             `json:"user"`
	Metadata  *struct {
		UserID *any `json:"user_id"`
	} `json:"metadata"`
	Options *struct {
		IncludeUsage *bool `json:"include_usage"`
	} `json:"stream_options"`
}

func ofJSON(raw []byte) any {
	var read body
	if json.Unmarshal(raw, &read) != nil {
		return nil
	}
	found := map[string]any{"model": read.Model, "stream": read.Stream, "max_tokens": read.MaxTokens, "n": read.N, "user": read.User}
	if read.Metadata != nil {
		found["metadata.user_id"] = read.Metadata.UserID
	}
	if read.Options != nil {
		found["stream_options.include_usage"] = read.Options.IncludeUsage
	}
	return found
}

func ofForm(raw []byte, contentType string) any {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" {
		return nil
	}
	form, err := multipart.NewReader(bytes.NewReader(raw), parameters["boundary"]).ReadForm(1 << 20)
	if err != nil {
		return nil
	}
	found := map[string]any{}
	for name, values := range form.Value {
		found[name] = values
	}
	return found
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		var asked request
		if err := json.Unmarshal(line, &asked); err != nil {
			panic(err)
		}
		var read any
		if asked.Type == nil {
			read = ofJSON(asked.Raw)
		} else {
			read = ofForm(asked.Raw, *asked.Type)
		}
		told, err := json.Marshal(read)
		if err != nil {
			panic(err)
		}
		out.Write(append(told, '\n'))
	}
}
