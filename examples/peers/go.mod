module github.com/aspupdate/aspupdate/examples/peers

go 1.26.0

replace github.com/aspupdate/aspupdate => ../../

require (
	github.com/Masterminds/semver/v3 v3.5.0
	github.com/aspupdate/aspupdate v0.0.0-00010101000000-000000000000
	github.com/blang/semver/v4 v4.0.0
	github.com/hashicorp/go-version v1.9.0
	github.com/knqyf263/go-deb-version v0.0.0-20241115132648-6f4aee6ccd23
	github.com/rickar/cal/v2 v2.1.27
	github.com/robfig/cron/v3 v3.0.1
	github.com/stretchr/testify v1.12.1
	github.com/teambition/rrule-go v1.8.2
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
