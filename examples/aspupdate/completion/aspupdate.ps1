# Completion of aspupdate for PowerShell:
#   aspupdate completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName aspupdate, aspupdate.exe -ScriptBlock {
    param($word, $ast, $position)
    $words = @($ast.CommandElements | Select-Object -Skip 1 | Where-Object { $_.Extent.EndOffset -lt $position } | ForEach-Object {
        if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value } else { $_.Extent.Text }
    })
    if ("$word".StartsWith('-')) { $words += "$word" }
    & $ast.CommandElements[0].Value @words --generate-shell-completion 2>$null | ForEach-Object {
        $value, $text = $_ -split ':', 2
        if ($value -and $value.StartsWith("$word")) {
            $typed = if ($value.Contains(' ')) { "'$value'" } else { $value }
            [System.Management.Automation.CompletionResult]::new($typed, $value, 'ParameterValue', $(if ($text) { $text } else { $value }))
        }
    }
}
