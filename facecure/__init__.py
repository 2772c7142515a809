"""facecure: how often is a person still found by face recognition after cloaking their photos?"""
