"""Help within a talk."""

HELP = '''\
/set ...         set parameters and modes; /? set lists them
/show [PART]     describe the model; /? show lists the parts
/load MODEL      go on with another model, the talk so far is forgotten
/save MODEL      make a model of this one, with what was set and said
/clear           forget the talk so far
/bye             leave, as does Ctrl-D
/?               this help
/? shortcuts     keys at the prompt
Three double quotes (""") open and close a message of several lines. Ctrl-C stops an answer.'''

SET_HELP = '''\
Usage: /set ...
  parameter NAME VALUE     a sampling option, as in /set parameter temperature 0
  parameter NAME           leave that option to the model again
  system TEXT              the system text, """ around one of several lines
  format json | SCHEMA     answers in JSON, or as a JSON Schema or @FILE says
  noformat                 answers in any form
  think [LEVEL] | nothink  think first, also low, medium, high or max; or do not
  verbose | quiet          show timings after each answer, or do not
  wordwrap | nowordwrap    break lines between words, or do not
  history | nohistory      remember what is typed, or do not'''

SHOW_HELP = """\
Usage: /show [PART]
  info        all that is known of the model, as does /show alone
  license     its licence
  modelfile   its Modelfile
  parameters  what it is asked with
  system      its system text
  template    its chat template"""

SHORTCUTS = """\
  Ctrl-A, Ctrl-E   go to the beginning or the end of the line
  Alt-B, Alt-F     go a word back or forward
  Ctrl-K, Ctrl-U   delete what follows the cursor, or what is before it
  Ctrl-W           delete the word before the cursor
  Ctrl-L           clear the screen
  Ctrl-R, Up       look for what was typed before
  Ctrl-C           stop the answer
  Ctrl-D           leave"""
