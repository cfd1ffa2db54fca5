package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPasswordIsNotPrinted(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"postgres://boss:horse@db.example.org:5433/asp", "host=db.example.org port=5433 user=boss password=horse dbname=asp", "postgres://boss:horse@[:bad"} {
		d := Database{URI: uri}
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			require.NotContains(t, fmt.Sprintf(format, d), "horse", format)
			require.NotContains(t, fmt.Sprintf(format, &d), "horse", format)
		}
		require.NotContains(t, logged(d), "horse")
		text, err := json.Marshal(d)
		require.NoError(t, err)
		require.NotContains(t, string(text), "horse")
	}
	require.Equal(t, "postgres db.example.org:5433 asp", fmt.Sprint(Database{URI: "postgres://boss:horse@db.example.org:5433/asp"}))
}

// logged returns what both handlers of log/slog make of a value.
func logged(v any) string {
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "database", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "database", v)
	return out.String()
}
