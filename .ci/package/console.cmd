@echo off
rem The entry of the start menu: what to fix or, before there is a configuration, what the program can do.
rem The console stays open, with the program in its path. Every user can put files where the configuration
rem lies: nothing is run from there.
title aspupdate
set "NoDefaultCurrentDirectoryInExePath=1"
set "PATH=%~dp0;%PATH%"
if not defined ASPUPDATE_CONFIG set "ASPUPDATE_CONFIG=%ProgramData%\aspupdate\aspupdate.toml"
"%~dp0aspupdate.exe" --version
if exist "%ASPUPDATE_CONFIG%" ("%~dp0aspupdate.exe" doctor) else ("%~dp0aspupdate.exe" --help)
